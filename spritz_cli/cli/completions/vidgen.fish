# Completion of vidgen for fish. In ~/.config/fish/config.fish: vidgen completion fish | source

function __vidgen_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] __complete $words[2..-1] 2>/dev/null)
    if test "$lines" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $lines
    end
end

complete -c vidgen -f -a '(__vidgen_complete)'

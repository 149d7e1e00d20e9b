#compdef vidgen
# Completion of vidgen for zsh. In ~/.zshrc, after compinit: source <(vidgen completion zsh)

_vidgen() {
    local line word
    local -a candidates
    for line in "${(@f)$("${words[1]/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        word=${line%%$'\t'*}
        if [[ $word == :files ]]; then
            _files
            return
        elif [[ $line == *$'\t'* ]]; then
            candidates+=("${word//:/\\:}:${line#*$'\t'}")
        elif [[ -n $word ]]; then
            candidates+=("${word//:/\\:}")
        fi
    done
    _describe vidgen candidates
}

# Sourced, or found by compinit in a folder of $fpath.
if [[ ${funcstack[1]} == _vidgen ]]; then
    _vidgen "$@"
else
    compdef _vidgen vidgen
fi

"""Who makes the films of a run: child processes, or RQ workers."""

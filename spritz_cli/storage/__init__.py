"""Where published films live: the store on disk, the manifest and leases in Redis."""

"""HOW a network is computed: small programs over values of 16 lanes, lane n belonging to image n."""

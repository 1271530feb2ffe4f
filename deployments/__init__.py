"""What runs on the Ray cluster: router, partitions and lookups, and the builder of their app."""

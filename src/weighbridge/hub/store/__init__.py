"""Where the bytes of the hub server lie: a port that a folder and an S3 bucket keep, and a cache of whole files."""

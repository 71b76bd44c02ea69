"""Bytes of large files: how they come in, by Xet or LFS, how they go out, what is freed and what is damaged."""

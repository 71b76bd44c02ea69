"""The formats of the Xet protocol, as pure functions over bytes: chunks, hashes, xorbs and shards. No disk, no network.

Specification: Hugging Face hub-docs `docs/xet/`, draft-denis-xet (IETF); behaviour compared with hf_xet.
"""

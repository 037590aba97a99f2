"""What a guest is told at its first boot, and how it is known that the first boot ended.

Owns: generated passwords and their hashes, the NoCloud seed, the user's own user-data kept beside Kiln's, and reading
the console or the guest agent for the end of cloud-init. Pure: bytes and values in, bytes and values out; it opens no
connection and writes no file. Plain passwords never enter a seed; only ``passwords.hash_password`` sees them.
"""

"""What a carried vector is compared with, as steering vectors."""

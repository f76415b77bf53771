"""Study configuration, run store and what carries a study out."""

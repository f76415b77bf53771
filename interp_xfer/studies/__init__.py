"""Study configuration, run store and the pipeline that carries a study out."""

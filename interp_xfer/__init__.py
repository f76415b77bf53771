"""Does a concept found in one language model exist, and work, in another one?"""

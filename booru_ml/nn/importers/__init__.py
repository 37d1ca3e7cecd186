"""Published weights turned into checkpoint folders, once; each import proves itself against the original."""

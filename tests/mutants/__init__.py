"""Mutation testing of the code where a silent fault hurts (`make mutants`)."""

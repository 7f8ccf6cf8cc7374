"""The Docker engine: asked, and used for throwaway containers."""

"""What versions take on the disk: accounting, and files shared between versions by links or extents."""

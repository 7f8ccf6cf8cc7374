"""Files and directories, worked on by descriptor."""

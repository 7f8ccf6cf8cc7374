"""What several tests lean on: a Docker engine and the images it runs."""

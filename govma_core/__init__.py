"""The core of govma-console: builds, publishes, promotes and lists versions; prints nothing, knows no front end."""

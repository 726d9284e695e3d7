"""The one-machine stack: all of DermQ's processes on this machine, with their state in one data folder."""

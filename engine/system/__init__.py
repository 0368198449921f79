"""What is asked of the machine: processes, threads, devices, file systems, files written whole or not at all; how far a step is."""

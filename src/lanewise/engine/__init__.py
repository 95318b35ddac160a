"""The engine: a graph becomes kernel calls, one arena of memory, machine code, and threads that meet at barriers."""

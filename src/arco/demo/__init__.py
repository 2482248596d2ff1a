"""The demo: a year of real flights as a lakehouse. Knows the data and the server, not how results are shown."""

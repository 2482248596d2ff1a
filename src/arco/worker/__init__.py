"""The worker: a process of its own that runs user code for a control plane it knows only over HTTP."""

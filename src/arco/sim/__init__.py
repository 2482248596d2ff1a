"""The deterministic world: the real protocol code under virtual time, a seeded scheduler and a faulty store.

    python -m arco.sim --seed 84                  one schedule, its timeline and its verdict
    python -m arco.sim run --schedules 20000      many of them, with a report; --tier B: whole servers, with Parquet
                                                  --tier R: root transactions over both chains
    python -m arco.sim systematic --depth 2       every fault, alone and in pairs, at every operation of every path
    python -m arco.sim minimise --seed 84         the smallest schedule that still breaks the same invariant

From code: `run_schedule(seed, profile, patches=...)` (`arco.sim.schedule`); empty `violations` mean fine.
`Patch("arco.kernel.publish:Publisher.publish", other)` puts a defect into production code for one schedule.

How it is built. `loop` runs everything in virtual time, in drawn order; `process` is a life that can end or be
suspended at any `await`; `bucket` is the storage service, `store` one process's faulty way to it, `network` the calls
between processes; `machines` puts the production roles together below HTTP over the domain in `domain`. `swarm` draws a
`plan` from a seed; `world` lives it: trouble first, then calm, in which everything must converge.

Adding a workload: a new `kind` of `plan.Wish`, drawn in `swarm`, asked in `clients`, judged in `judging` from the
`history`. Adding a monitor: a method of `monitors.ChainMonitor` for what is stored, or of `clients.Seen` for what is
read; call `violations.add(invariant, sentence)`. Adding a fault: its name in `faults`, what it does in `store` or
`network`. Every random value comes from a stream seeded by name, so that adding one leaves the others as they are.

Source: reliability.md 4 to 7.
"""

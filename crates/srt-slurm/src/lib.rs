//! Slurm as it is: host lists, dialects, submission, queries, and steps by srun

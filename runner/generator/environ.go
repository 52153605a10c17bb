package generator

import (
	"fmt"
	"strconv"
)

// The variables in which a worker finds who it is and, where it is to connect, where to.
// Neither is in anybody's argv.
const (
	rankVariable = "SPARKRUN_WORKER_RANK"
	sizeVariable = "SPARKRUN_WORKER_SIZE"
	dialVariable = "SPARKRUN_WORKER"
)

// places are the variables by which launchers tell a process its rank, and those in which
// the number of processes may be, the most telling first.
var places = []struct {
	rank  string
	sizes []string
}{
	{rankVariable, []string{sizeVariable}},
	{"OMPI_COMM_WORLD_RANK", []string{"OMPI_COMM_WORLD_SIZE"}},
	{"PMIX_RANK", []string{"OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "PMI_SIZE", "SLURM_NTASKS", "SLURM_NPROCS"}},
	{"PMI_RANK", []string{"PMI_SIZE", "SLURM_NTASKS", "SLURM_NPROCS"}},
	{"SLURM_PROCID", []string{"SLURM_NTASKS", "SLURM_NPROCS"}},
}

// rankOf is a process's rank and how many there are, by its environment.
func rankOf(lookup func(string) (string, bool)) (rank, size int, err error) {
	for _, p := range places {
		text, set := lookup(p.rank)
		if !set {
			continue
		}
		if rank, err = strconv.Atoi(text); err != nil || rank < 0 {
			return 0, 0, fmt.Errorf("%s is %q, which is no rank", p.rank, text)
		}
		for _, name := range p.sizes {
			text, set := lookup(name)
			if !set {
				continue
			}
			if size, err = strconv.Atoi(text); err != nil || size <= rank {
				return 0, 0, fmt.Errorf("%s is %q, which is no number of processes of which one has rank %d (%s)", name, text, rank, p.rank)
			}
			return rank, size, nil
		}
		return 0, 0, fmt.Errorf("%s is %d and nothing says how many processes there are: none of %v is set", p.rank, rank, p.sizes)
	}
	return 0, 0, fmt.Errorf("nothing says which worker this is: it is started by sparkrun, mpirun or srun, which set %s, OMPI_COMM_WORLD_RANK, PMIX_RANK, PMI_RANK or SLURM_PROCID", rankVariable)
}

package store

// Request is how a run was asked for: what resume needs to ask again. Values of
// variables are kept as they were given, but for sensitive ones, whose Value is empty
// and which must come from the environment then.
type Request struct {
	Paths       []string  `json:"paths"` // absolute
	Vars        []Setting `json:"vars"`
	Only        []string  `json:"only"`
	Skip        []string  `json:"skip"`
	Parallelism int       `json:"parallelism"`
	KeepServers bool      `json:"keep_servers,omitempty"`
	Strict      bool      `json:"strict"`
	Worker      string    `json:"worker_binary,omitempty"` // sparkrun on the nodes of a generator
	Baseline    string    `json:"baseline,omitempty"`      // absolute path of a run's folder or a summary.json
}

// Setting is one --var or --var-file of the command line.
type Setting struct {
	Name      string `json:"name,omitempty"`
	Value     string `json:"value,omitempty"`
	File      string `json:"file,omitempty"` // absolute
	Sensitive bool   `json:"sensitive,omitempty"`
}

// Package metric is the columnar machine that evaluates a scenario's metric, slo and
// threshold expressions, and the registry of every number's name, unit and definition.
// scenario/expr compiles to it; runner/result runs it without knowing HCL. A leaf:
// standard library only.
package metric

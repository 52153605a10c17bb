// Package schema is how a kind of server, dataset or sink says which attributes it
// takes. The scenario loader validates with it, the language reference is generated from
// it, and the plan carries the resulting Values. It imports nothing but the standard
// library and scenario/dist, so that every layer can use it.
package schema

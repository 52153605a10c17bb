// Package dataset is what is sent: conversations made from seeded text or read from
// files, and the request bodies that their turns become.
package dataset

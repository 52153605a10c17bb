// Package load is the engine: phases and pacers decide when a request leaves, a Source
// decides what it says, a Doer sends it and stamps the answer, and every outcome goes to
// a Recorder. It knows neither HTTP nor files, and is tested in virtual time.
package load

// Package message reads and writes internet mail. Reading never loses a mail:
// whatever the bytes are, there is a tree of parts, a text and the untouched
// original. Writing never lets a value become a header line of its own. The
// package is pure: no store, no clock, no network; randomness and secrets are
// arguments.
package message

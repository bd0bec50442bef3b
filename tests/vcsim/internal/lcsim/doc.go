// Package lcsim teaches govmomi's vCenter simulator how linked clones behave.
//
// The stock simulator ignores diskMoveType, snapshot and locators when it
// clones, lets two snapshots share one disk file and counts no references when
// it destroys. This package answers those calls itself and leaves the rest to
// the library. Every modelled rule cites a fact in docs/facts.md, which has its
// source and how certain it is.
//
// How a call travels:
//
//	front (HTTP)    counts, logs, delays, drops, injects call faults, checks privileges
//	dispatch        puts our method object in front of the library's one
//	*.go by method  clone, snapshot, destroy, promote, power, ...
//	task            runs the work without holding any object's lock while it waits
//	watch           keeps disk files, layout and enums right whoever changed a VM
package lcsim

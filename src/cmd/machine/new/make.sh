#!/bin/sh
# Makes it so, and ends with 0 when it is.
: > ./wanted

#!/bin/sh
# Ends with 0 where all is as it should be. Here: a file is there, beside this script.
[ -e ./wanted ]

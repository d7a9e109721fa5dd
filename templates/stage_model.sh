#!/bin/bash
# Copies a model to a node's own disk: stage_model.sh SOURCE TARGET
# Names and sizes are compared before and after; an equal copy is kept. Links are followed.
set -euo pipefail

source=$1
target=$2

manifest() {
  (cd "$1" && find -L . -type f -printf '%P\t%s\n' | sort)
}

wanted=$(manifest "$source")
if [ -d "$target" ] && [ "$(manifest "$target")" = "$wanted" ]; then
  echo "$target is up to date"
  exit 0
fi

mkdir -p "$target"
(cd "$source" && find -L . -type d -print0) | (cd "$target" && xargs -0 mkdir -p)
export source target
cut -f1 <<<"$wanted" | tr '\n' '\0' |
  xargs -0 -P "${STAGE_PARALLEL:-16}" -I{} sh -c 'cp -L "$source/$1" "$target/$1"' copy {}

if [ "$(manifest "$target")" != "$wanted" ]; then
  echo "$target differs from $source after the copy" >&2
  exit 1
fi
echo "$target is complete"

#!/bin/bash
{%- for directive in directives %}
#SBATCH {{ directive }}
{%- endfor %}

set -u
{%- if !by_architecture.is_empty() %}
case "$(uname -m)" in
{%- for (architecture, path) in by_architecture %}
  {{ architecture }}) program={{ path }} ;;
{%- endfor %}
  *) echo "no srtctl for $(uname -m)" >&2; exit 1 ;;
esac
{%- endif %}
exec {{ program }} {{ arguments }} </dev/null

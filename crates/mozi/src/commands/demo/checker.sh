# Reviews what was delivered, number by number.
set -eu
mozi report working
[[ $(mozi --json output list "$MOZI_TASK") =~ .*\"output_id\":\ *([0-9]+) ]]
mozi output show "$MOZI_TASK" "${BASH_REMATCH[1]}" > result.txt

while read -r n; do
  if ((n < 2)); then
    mozi report reject --detail "$n is not a prime: leave it out"
    exit
  fi
  for ((d = 2; d * d <= n; d++)); do
    if ((n % d == 0)); then
      mozi report reject --detail "$n is not a prime: $d divides it"
      exit
    fi
  done
done < result.txt

mozi report approve --detail "every number is a prime"

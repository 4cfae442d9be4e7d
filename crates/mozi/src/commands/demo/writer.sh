# Does the tasks of the demo. A real agent would ask a model what to do; how it talks to the board is the same.
set -eu
prompt=$(< /dev/stdin) # everything that it is told: the task, what was tried before, how to report
mozi report working

case $MOZI_TASK in
  primes)
    # The first time it takes 1 for a prime. The reviewer's remark stands in the prompt of the second.
    case $prompt in *"1 is not a prime"*) first=2 ;; *) first=1 ;; esac
    for ((n = first; n < 100; n++)); do
      prime=yes
      for ((d = 2; d * d <= n; d++)); do
        if ((n % d == 0)); then prime=no; break; fi
      done
      if [ $prime = yes ]; then echo "$n"; fi
    done > primes.txt
    mapfile -t found < primes.txt
    mozi output add --type data --title "Primes below 100" --summary "${#found[@]} numbers" --file primes.txt
    ;;
  sum)
    # What the task before has delivered: its newest output.
    [[ $(mozi --json output list primes) =~ .*\"output_id\":\ *([0-9]+) ]]
    mozi output show primes "${BASH_REMATCH[1]}" > primes.txt
    sum=0
    while read -r n; do ((sum += n)); done < primes.txt
    mozi output add --type data --title "The sum" --content "the primes below 100 add up to $sum"
    ;;
esac

mozi report review

# Reads ctest's JUnit file; prints one line per reason why test cases were skipped, the tests that failed, and the closing
# line. A test program counts its own cases and ends with a line of the same form; any other test counts as one.
/<testcase / {
  name = status = $0
  sub(/.* name="/, "", name); sub(/".*/, "", name)
  sub(/.* status="/, "", status); sub(/".*/, "", status)
  cases = own_failed = 0
}
{
  line = $0
  sub(/.*<system-out>/, "", line); sub(/<\/system-out>.*/, "", line)
}
line ~ /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
  split(line, n, /[^0-9]+/)
  passed += n[1]; failed += n[2]; skipped += n[3]
  own_failed += n[2]; cases += n[1] + n[2] + n[3]
}
# "SKIPPED: NAME needs REASON"; files that are missing from the shared data are one reason.
line ~ /^SKIPPED: / {
  gsub(/&quot;/, "\"", line); gsub(/&lt;/, "<", line); gsub(/&gt;/, ">", line); gsub(/&amp;/, "\\&", line)
  sub(/^SKIPPED: /, "", line)
  reason = line
  if (match(line, / needs PRECIS_SHARED\/.*/)) reason = "the folder PRECIS_SHARED (optional test data) lacks the files"
  else if (match(line, / needs .*/)) reason = "needs " substr(line, RSTART + 7)
  if (!(reason in skips)) reasons[++different] = reason
  if (++skips[reason] == 1) example[reason] = line
}
/<\/testcase>/ {
  if (status == "run") { if (cases == 0) ++passed }
  else if (status == "disabled") ++skipped
  else {
    print "FAILED: " name
    if (own_failed == 0) ++failed    # it crashed, or a sanitizer stopped it: its own count does not say so
  }
}
END {
  for (i = 1; i <= different; ++i) {
    reason = reasons[i]
    if (skips[reason] == 1) print "SKIPPED: " example[reason]
    else print "SKIPPED: " skips[reason] " test cases: " reason
  }
  printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
}

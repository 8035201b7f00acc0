# Reads ctest's JUnit file; prints what was skipped and why, what failed, and the closing line. A test program counts
# its own cases and says so in a line of the same form; any other test counts as one.
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
line ~ /^SKIPPED: / { gsub(/&quot;/, "\"", line); gsub(/&amp;/, "\\&", line); print line }
/<\/testcase>/ {
  if (status == "run") { if (cases == 0) ++passed }
  else if (status == "disabled") ++skipped
  else {
    print "FAILED: " name
    if (own_failed == 0) ++failed    # it crashed, or a sanitizer stopped it: its own count does not say so
  }
}
END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }

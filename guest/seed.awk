# Reads JSON documents (one per file) and writes shell calls: seed PATH 'VALUE'.
# PATH is FILE.KEY.INDEX...; null is left out. A command that is a list of words comes as one line.
# cloud-init's #cloud-config line before a document is skipped.
FNR == 1 { if (NR > 1) { document(); text = "" } file = FILENAME; sub(/.*\//, "", file) }
FNR == 1 && /^#/ { next }
{ text = text $0 "\n" }
END { document() }

function document() { rest = text; take(); value(file) }

function take() {
  if (!match(rest, /^[ \t\r\n]*("([^"\\]|\\.)*"|[][{}:,]|[^][{}:, \t\r\n"]+)/)) { token = ""; return }
  token = substr(rest, 1, RLENGTH); rest = substr(rest, RLENGTH + 1)
  sub(/^[ \t\r\n]+/, "", token)
}

function value(path,    key, count, words, command) {
  if (token == "{") {
    take()
    while (token != "}" && token != "") {
      key = plain(token); take(); take()
      value(path "." key); take()
      if (token == ",") take()
    }
  } else if (token == "[") {
    take(); words = ""; command = path ~ /\.(bootcmd|runcmd)\.[0-9]+$/
    for (count = 0; token != "]" && token != ""; count++) {
      if (command) words = words " " quote(plain(token)); else value(path "." count)
      take()
      if (token == ",") take()
    }
    if (command) print "seed " quote(path) " " quote(substr(words, 2))
  } else if (token != "null")
    print "seed " quote(path) " " quote(plain(token))
}

function quote(string) { gsub(/'/, "'\\''", string); return "'" string "'" }

function plain(string,    out, at, mark) {
  if (string !~ /^"/) return string
  string = substr(string, 2, length(string) - 2); out = ""
  while ((at = index(string, "\\")) > 0) {
    mark = substr(string, at + 1, 1)
    out = out substr(string, 1, at - 1) \
      (mark == "n" ? "\n" : mark == "t" ? "\t" : mark == "r" ? "\r" : mark == "u" ? "?" : mark)
    string = substr(string, at + (mark == "u" ? 6 : 2))
  }
  return out string
}

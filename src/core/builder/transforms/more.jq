# Words that queries of people use and jaq does not bring.
def ascii: [.] | implode;
def toarray: if type == "array" then . else [.] end;
def trimstr($part): ltrimstr($part) | rtrimstr($part);
def leaf_paths: paths(scalars);
def IN(stream): . as $value | any(stream; . == $value);
def IN(source; stream): any(source; IN(stream));
def INDEX(stream; key): reduce stream as $row ({}; . + {($row | key | tostring): $row});
def INDEX(key): INDEX(.[]; key);
def @csv: [.[] | if type == "string" then "\"" + gsub("\""; "\"\"") + "\""
  elif type == "object" or type == "array" then error("a cell of @csv is a list or an object")
  elif . == null then "" else tostring end] | join(",");
def @tsv: [.[] | if type == "object" or type == "array" then error("a cell of @tsv is a list or an object")
  elif . == null then ""
  else tostring | gsub("\\\\"; "\\\\") | gsub("\t"; "\\t") | gsub("\n"; "\\n") | gsub("\r"; "\\r") end] | join("\t");

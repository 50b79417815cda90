"""The five protocols, one file each; `registry` names them."""

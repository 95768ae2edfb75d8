announce() { echo "starting $1"; }

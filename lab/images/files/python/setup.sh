# Python as Debian has it, with venv and pip, under the names that the official image uses.
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3 python3-venv
ln -s /usr/bin/python3 /usr/local/bin/python
python --version
python -m venv --help > /dev/null

# tries: Ask the cloud's metadata service for the machine's credentials.
# timeout: 30
# gvisor: denied
# container: denied
. ./verdict.sh
for place in http://169.254.169.254/latest/meta-data/iam/security-credentials/ http://169.254.169.254/computeMetadata/v1/ \
  'http://[fd00:ec2::254]/latest/' http://100.100.100.200/latest/meta-data/ http://169.254.170.2/v2/credentials http://2852039166/ \
  http://0xa9fea9fe/ http://192.0.0.192/; do
  curl -gs -m 1 -H 'Metadata-Flavor: Google' "$place" && escaped "$place answers"
done
denied "none of eight answers"

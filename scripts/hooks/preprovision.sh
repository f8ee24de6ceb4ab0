#!/bin/sh
# azd runs this before each provision. A subnet for Flex Consumption belongs to Microsoft.App, of which the template makes no
# resource, so that Azure does not register it by itself; the deployment would end with "SAL related operation failed".
set -u
[ "${GATEWAY_INFRA_NETWORK:-public}" = private ] || exit 0
if ! command -v az > /dev/null; then
  echo "Azure CLI (az) is not there; have somebody run: az provider register --namespace Microsoft.App --wait" >&2
  exit 0
fi
echo "Registering Microsoft.App, which a private network needs"
# The subscription of the environment, which need not be the one that az has chosen.
az provider register --namespace Microsoft.App --wait --subscription "$AZURE_SUBSCRIPTION_ID" && exit 0
echo "Microsoft.App was not registered. Sign in with az login, or have somebody who may run:" \
  "az provider register --namespace Microsoft.App --wait --subscription $AZURE_SUBSCRIPTION_ID" >&2
exit 1

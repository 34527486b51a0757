"""Scores with a webservice by azureml-core (v1): the SDK fetches the token and calls the gateway. See README.md."""

import json
import os

from azureml.core import Workspace
from azureml.core.authentication import ServicePrincipalAuthentication
from azureml.core.webservice import Webservice

authentication = ServicePrincipalAuthentication(
    # `adfs/` before the tenant: without it the SDK asks Microsoft whether this authority is one of theirs.
    tenant_id=f"adfs/{os.environ['AZURE_TENANT_ID']}",
    service_principal_id=os.environ["AZURE_CLIENT_ID"],
    service_principal_password=os.environ["AZURE_CLIENT_SECRET"],
    # The name of the cloud that ARM_CLOUD_METADATA_URL describes.
    cloud="wsts",
)
workspace = Workspace.get(
    name=os.environ["AZUREML_WORKSPACE"],
    auth=authentication,
    subscription_id=os.environ["AZURE_SUBSCRIPTION_ID"],
    resource_group=os.environ["AZURE_RESOURCE_GROUP"],
)
service = Webservice(workspace, os.environ["AZUREML_WEBSERVICE"])

# For callers that send their requests by themselves: a token, and when to fetch the next one.
token, refresh_after = service.get_token()
print(f"a token of {len(token)} characters, to be renewed after {refresh_after}")

# Or let the SDK do both.
print(json.dumps(service.run(json.dumps({"data": [[1, 2, 3]]}))))

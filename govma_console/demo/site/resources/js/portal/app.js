// Portal
document.body.dataset.subsite = 'portal'

// Saude
document.body.dataset.subsite = 'saude'
